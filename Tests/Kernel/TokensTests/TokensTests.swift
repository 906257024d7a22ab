// Tests of Tokens.
