// Tests of GatewayConfiguration.
