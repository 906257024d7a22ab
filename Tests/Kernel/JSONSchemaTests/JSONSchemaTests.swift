// Tests of JSONSchema.
