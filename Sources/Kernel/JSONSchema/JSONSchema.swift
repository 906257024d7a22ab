// The room JSONSchema.
