// The room Processes.
