// The room Portal.
