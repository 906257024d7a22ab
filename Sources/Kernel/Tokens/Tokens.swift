// The room Tokens.
