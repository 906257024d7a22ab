/// Where a gateway's spans go, and which of those that the caller or the draw did not choose go along.
package struct SpanExportSettings: Sendable, Equatable {
    /// URL of a collector that takes OTLP over HTTP; without a path, `/v1/traces` is meant.
    package var endpoint: String
    /// Also what ended with 500 to 599 though its trace was not sampled. Default true.
    package var keepsErrors: Bool
    /// Also what took at least so long though its trace was not sampled, 1 ms to 1 h. Default: none.
    package var slow: Duration?
    /// `service.name` of the resource. Default `passerelle-gateway`.
    package var service: String
    /// A file of `Name: value` lines sent with each batch, such as credentials; relative to the configuration file.
    package var headersFile: String?

    package init(
        endpoint: String, keepsErrors: Bool = true, slow: Duration? = nil,
        service: String = SpanExportSettings.serviceDefault, headersFile: String? = nil
    ) {
        self.endpoint = endpoint
        self.keepsErrors = keepsErrors
        self.slow = slow
        self.service = service
        self.headersFile = headersFile
    }

    package static let serviceDefault: String = "passerelle-gateway"
    package static let slowRange: ClosedRange<Duration> = .milliseconds(1) ... .seconds(3600)
}
