/// The directives of `Cache-Control` (RFC 9111, 5.2; RFC 5861) that a shared cache acts on, of requests and responses.
///
/// Reads what it gets without ever failing: unknown directives are passed over, a number that is none counts as 0 (stale), one
/// that is too large as 2^31. Of a directive that is there twice the first counts. `no-cache` and `private` that name fields are
/// taken for the whole response, which RFC 9111 allows.
struct CacheControl: Equatable, Sendable {
    var isNoStore: Bool = false
    var isNoCache: Bool = false
    var isPrivate: Bool = false
    var isPublic: Bool = false
    var isMustRevalidate: Bool = false
    var isProxyRevalidate: Bool = false
    var isMustUnderstand: Bool = false
    var isNoTransform: Bool = false
    var isOnlyIfCached: Bool = false
    /// Seconds.
    var maxAge: Int64?
    var sharedMaxAge: Int64?
    var minFresh: Int64?
    /// Without a number: any.
    var maxStale: Int64?
    var staleWhileRevalidate: Int64?
    var staleIfError: Int64?

    static let secondsMax: Int64 = 1 << 31

    init() {}

    /// Reads the values of all `Cache-Control` fields, joined with commas.
    init(_ text: String) {
        let bytes: [UInt8] = Array(text.utf8)
        var position: Int = 0
        while position < bytes.count {
            let start: Int = position
            while position < bytes.count, CacheControl.isToken(bytes[position]) { position += 1 }
            let name: String = String(decoding: bytes[start..<position], as: UTF8.self).lowercased()
            var argument: String?
            if position < bytes.count, bytes[position] == 0x3D {
                position += 1
                argument = CacheControl.argument(bytes, &position)
            }
            if !name.isEmpty { self.apply(name, argument) }
            // On to the next comma: what stands before it belongs to no directive.
            while position < bytes.count, bytes[position] != 0x2C {
                if bytes[position] == 0x22 {
                    _ = CacheControl.argument(bytes, &position)
                } else {
                    position += 1
                }
            }
            position += 1
            while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
        }
    }

    /// A token or a quoted string; behind it.
    private static func argument(_ bytes: [UInt8], _ position: inout Int) -> String {
        var value: [UInt8] = []
        guard position < bytes.count, bytes[position] == 0x22 else {
            while position < bytes.count, self.isToken(bytes[position]) {
                value.append(bytes[position])
                position += 1
            }
            return String(decoding: value, as: UTF8.self)
        }
        position += 1
        while position < bytes.count, bytes[position] != 0x22 {
            if bytes[position] == 0x5C, position + 1 < bytes.count { position += 1 }
            value.append(bytes[position])
            position += 1
        }
        position += 1
        return String(decoding: value, as: UTF8.self)
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7F && byte != 0x2C && byte != 0x3B && byte != 0x3D && byte != 0x22
    }

    private mutating func apply(_ name: String, _ argument: String?) {
        switch name {
        case "no-store": self.isNoStore = true
        case "no-cache": self.isNoCache = true
        case "private": self.isPrivate = true
        case "public": self.isPublic = true
        case "must-revalidate": self.isMustRevalidate = true
        case "proxy-revalidate": self.isProxyRevalidate = true
        case "must-understand": self.isMustUnderstand = true
        case "no-transform": self.isNoTransform = true
        case "only-if-cached": self.isOnlyIfCached = true
        case "max-age": self.maxAge = self.maxAge ?? CacheControl.seconds(argument)
        case "s-maxage": self.sharedMaxAge = self.sharedMaxAge ?? CacheControl.seconds(argument)
        case "min-fresh": self.minFresh = self.minFresh ?? CacheControl.seconds(argument)
        case "max-stale":
            self.maxStale = self.maxStale ?? (argument == nil ? .max : CacheControl.seconds(argument))
        case "stale-while-revalidate":
            self.staleWhileRevalidate = self.staleWhileRevalidate ?? CacheControl.seconds(argument)
        case "stale-if-error": self.staleIfError = self.staleIfError ?? CacheControl.seconds(argument)
        default: break
        }
    }

    /// Digits alone; anything else is 0.
    static func seconds(_ text: String?) -> Int64 {
        guard let text: String = text, !text.isEmpty else { return 0 }
        var value: Int64 = 0
        for byte in text.utf8 {
            guard byte >= 0x30, byte <= 0x39 else { return 0 }
            value = min(self.secondsMax, value * 10 + Int64(byte - 0x30))
        }
        return value
    }
}
