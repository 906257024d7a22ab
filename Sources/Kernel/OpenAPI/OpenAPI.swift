// The room OpenAPI.
