import Bytes
import Documents
import JSON

/// `compression`: responses are compressed for clients that take it.
package struct CompressionPolicy: Sendable, Equatable {
    package enum Algorithm: String, Sendable, Equatable, CaseIterable {
        case gzip
        case brotli = "br"
        case zstd
    }

    /// Those that are used, the preferred one first. Default br, zstd, gzip.
    package var algorithms: [Algorithm]
    /// Bytes a body must have at least, where its length is known; 0 to 16 MiB. Default 1 KiB.
    package var bytesMin: Int
    /// Media types that are compressed, lower case; `text/*` stands for all of text. Default: text, JSON, XML, JavaScript, SVG.
    package var types: [String]

    package init(
        algorithms: [Algorithm] = [.brotli, .zstd, .gzip], bytesMin: Int = 1024,
        types: [String] = CompressionPolicy.typesDefault
    ) {
        self.algorithms = algorithms
        self.bytesMin = bytesMin
        self.types = types
    }

    package static let typesDefault: [String] = [
        "text/*", "application/json", "application/problem+json", "application/ld+json", "application/xml",
        "application/javascript", "application/graphql-response+json", "application/x-ndjson",
        "application/yaml", "image/svg+xml",
    ]
    package static let bytesMinLimit: Int = 16 << 20
    package static let typesMax: Int = 64
}

extension CompressionPolicy {
    static func read(_ decoder: NodeDecoder) -> CompressionPolicy? {
        guard let fields: NodeFields = decoder.fields(["algorithms", "min_size", "types"]) else { return nil }
        let defaults: CompressionPolicy = CompressionPolicy()
        var algorithms: [Algorithm]? = defaults.algorithms
        if fields["algorithms"] != nil {
            algorithms = fields.list("algorithms", count: 1...Algorithm.allCases.count) { element in
                element.choice(["gzip": .gzip, "br": .brotli, "zstd": .zstd])
            }
        }
        let least: Int? = fields.byteCount("min_size", default: defaults.bytesMin, in: 0...self.bytesMinLimit)
        var types: [String]? = defaults.types
        if fields["types"] != nil {
            types = fields.list("types", count: 1...self.typesMax) { element in
                element.parsed("a media type such as application/json or text/*") { self.type($0) }
            }
        }
        guard let algorithms, let least, let types else { return nil }
        return CompressionPolicy(algorithms: algorithms, bytesMin: least, types: types)
    }

    private static func type(_ text: String) -> String? {
        let parts: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, text.utf8.count <= 128 else { return nil }
        for part in parts {
            if part.isEmpty { return nil }
            for byte in part.utf8 where byte <= 0x20 || byte >= 0x7F || byte == 0x3B || byte == 0x2C { return nil }
        }
        return text.lowercased()
    }

    func write(_ body: inout DefinitionWriter) {
        let defaults: CompressionPolicy = CompressionPolicy()
        if self.algorithms != defaults.algorithms {
            body.set("algorithms", list: self.algorithms.map { .string($0.rawValue) })
        }
        body.set("min_size", self.bytesMin, unless: defaults.bytesMin)
        if self.types != defaults.types { body.set("types", list: self.types.map { .string($0) }) }
    }
}
