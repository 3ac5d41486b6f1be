"""ScanQA and SQA3D: records, answers, each rule and score in use, and the report."""
