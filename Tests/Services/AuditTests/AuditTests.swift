// Tests of Audit.
