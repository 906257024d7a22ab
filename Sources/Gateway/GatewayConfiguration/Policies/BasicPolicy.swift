import Documents

/// `basic`: a caller brings a user name and a password (RFC 7617) that are a credential of an application.
package struct BasicPolicy: Sendable, Equatable {
    /// How long a password that was right is believed without being computed again, 0 to 1 h. Default 5 min.
    package var cacheFor: Duration

    package init(cacheFor: Duration = BasicPolicy.cacheForDefault) {
        self.cacheFor = cacheFor
    }

    package static let cacheForDefault: Duration = .seconds(300)
}

extension BasicPolicy {
    static func read(_ decoder: NodeDecoder) -> BasicPolicy? {
        guard let fields: NodeFields = decoder.fields(["cache"]) else { return nil }
        return fields.duration("cache", default: self.cacheForDefault, in: .zero ... .seconds(3600)).map {
            BasicPolicy(cacheFor: $0)
        }
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("cache", self.cacheFor, unless: BasicPolicy.cacheForDefault)
    }
}
