// The room Deployments.
