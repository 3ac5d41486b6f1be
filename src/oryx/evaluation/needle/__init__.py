"""Needles in haystacks: what is asked, by whom it is answered, and the report."""
