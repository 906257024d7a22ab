// The room Observability.
