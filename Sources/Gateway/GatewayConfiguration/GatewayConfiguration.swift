// The room GatewayConfiguration.
