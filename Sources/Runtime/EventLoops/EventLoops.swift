// The room EventLoops.
