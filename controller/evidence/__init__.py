"""What proves, afterwards, what happened: the journal checked, exported, replayed, and bundled for somebody else."""
