"""`oryx batch`: a file of questions over media to a file of answers, each id exactly once, whatever dies.

inputs     rows of a JSONL or parquet file, checked for their ids and hashed before anything runs
requests   a row to the job for the encoding workers and the way its answer is chosen
journal    what has been answered, beside the output; a run goes on from it
answering  a row to its answer, on one machine
cluster    the same, on the actors of a Ray cluster
running    many rows at a time, until all are done or the run is told to stop
outputs    the journal to the output, in the order of the input
job        these, put together
"""
