// Tests of OpenAPI.
