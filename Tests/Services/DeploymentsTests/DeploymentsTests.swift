// Tests of Deployments.
