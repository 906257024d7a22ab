// The room Time.
