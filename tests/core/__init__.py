from tensorboard.summary.writer import event_file_writer

# TensorBoard reads a run's files in the order of their names, which end in the second
# and a number of the process. Only in tests is a run resumed within that second, and
# its file number 10 would be read before number 9.
event_file_writer._global_uid = event_file_writer.AtomicCounter(1_000_000)
