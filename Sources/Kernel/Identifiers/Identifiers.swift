// The room Identifiers.
