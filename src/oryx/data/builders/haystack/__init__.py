"""Needles in haystacks: a picture put into a long video, with its question and answer, for evaluation."""
