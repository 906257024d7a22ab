// The room EventLog.
