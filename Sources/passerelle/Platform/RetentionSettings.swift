import Documents

/// `retention` of the settings file.
struct RetentionSettings: Sendable {
    /// Days of the audit log, and of traffic.
    static let auditRange: ClosedRange<Duration> = .seconds(30 * 86_400) ... .seconds(3_650 * 86_400)
    static let trafficRange: ClosedRange<Duration> = .seconds(86_400) ... .seconds(400 * 86_400)

    /// For how long entries of the audit log are kept. Default 365 days, 30…3,650 days.
    var audit: Duration = .seconds(365 * 86_400)
    /// For how long the sums of requests by minute are kept. Default 30 days, 1…400 days.
    var traffic: Duration = .seconds(30 * 86_400)

    static func read(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["audit", "traffic"]) else { return }
        if let time: Duration = fields["audit"]?.duration(in: Self.auditRange) { settings.retention.audit = time }
        if let time: Duration = fields["traffic"]?.duration(in: Self.trafficRange) { settings.retention.traffic = time }
    }
}
