import Audit
import Documents
import Files
import HTTP
import Identity

/// `audit` of the settings file: where checkpoints are kept outside of the platform.
struct AuditSettings: Sendable {
    enum Anchor: Sendable, Equatable {
        case folder(String)
        case repository(String, pushes: Bool)
        /// The file's first line is sent as bearer token; read at each call, so that it may be replaced.
        case url(String, tokenFile: String?)
    }

    private static let tokenBytesMax: Int = 8_192
    private static let answerBytesMax: Int = 64 << 10

    /// At most 16. Default: none.
    var anchors: [Anchor] = []
    /// Default 1 hour, a minute…a day.
    var anchorEvery: Duration = AnchorRules.everyDefault
    /// Default: `AccessRule.thresholdDefault`.
    var unusual: AccessThresholds = AccessThresholds()

    static func read(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["anchors", "anchor_every", "unusual"]) else { return }
        if let time: Duration = fields["anchor_every"]?.duration(in: AnchorRules.everyRange) {
            settings.audit.anchorEvery = time
        }
        if let rules: NodeFields = fields["unusual"]?.fields(AccessRule.allCases.map(\.rawValue)) {
            for rule in AccessRule.allCases {
                if let count: Int = rules[rule.rawValue]?.integer(in: AccessThresholds.range) {
                    settings.audit.unusual[rule] = Int64(count)
                }
            }
        }
        if let anchors: [Anchor] = fields["anchors"]?.list(count: 0...AnchorRules.countMax, { Self.anchor($0) }) {
            settings.audit.anchors = anchors
        }
    }

    private static func anchor(_ decoder: NodeDecoder) -> Anchor? {
        guard let fields: NodeFields = decoder.fields(["folder", "repository", "push", "url", "token_file"]) else {
            return nil
        }
        let folder: String? = fields["folder"]?.string(length: 1...4_096)
        let repository: String? = fields["repository"]?.string(length: 1...4_096)
        let url: String? = fields["url"]?.string(length: 1...2_048)
        let pushes: Bool = fields["push"]?.boolean() ?? false
        let tokenFile: String? = fields["token_file"]?.string(length: 1...4_096)
        guard [fields["folder"], fields["repository"], fields["url"]].compactMap({ $0 }).count == 1 else {
            decoder.problem("expected one of 'folder', 'repository' and 'url'")
            return nil
        }
        if repository == nil { fields["push"]?.problem("expected only beside 'repository'") }
        if url == nil { fields["token_file"]?.problem("expected only beside 'url'") }
        if let folder { return .folder(folder) }
        if let repository { return .repository(repository, pushes: pushes) }
        guard let url else { return nil }
        guard let parts: URLParts = URLParts(url), parts.query == nil else {
            fields["url"]?.problem("expected a URL such as https://witness.example/checkpoints, without a query")
            return nil
        }
        return .url(url, tokenFile: tokenFile)
    }

    /// - Parameter calls: makes what calls servers within the egress rules, where one is needed.
    func rules(_ calls: () throws -> any OutgoingCalls) throws -> AnchorRules {
        var made: [any CheckpointAnchor] = []
        var client: (any OutgoingCalls)?
        for anchor in self.anchors {
            switch anchor {
            case .folder(let folder): made.append(FolderAnchor(folder))
            case .repository(let folder, let pushes): made.append(RepositoryAnchor(folder, pushes: pushes))
            case .url(let url, let tokenFile):
                let used: any OutgoingCalls = try client ?? calls()
                client = used
                guard let address: URLParts = URLParts(url) else { continue }
                made.append(
                    WebhookAnchor(server: "\(address.scheme.rawValue)://\(address.authority)", url: url) {
                        try await Self.post($0, to: address, tokenFile, used)
                    })
            }
        }
        return AnchorRules(anchors: made, every: self.anchorEvery)
    }

    private static func post(
        _ text: [UInt8], to address: URLParts, _ tokenFile: String?, _ calls: any OutgoingCalls
    ) async throws -> Int {
        var fields: HTTPFields = ["Content-Type": "text/plain; charset=utf-8"]
        if let tokenFile {
            let bytes: [UInt8] = try Files.read(tokenFile, bytesMax: Self.tokenBytesMax)
            fields.append("Authorization", "Bearer \(String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self))")
        }
        return try await calls.send(
            HTTPClientRequest(method: .post, url: address, fields: fields, body: text), bytesMax: Self.answerBytesMax
        ).status
    }
}
