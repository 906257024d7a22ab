// The room REST.
