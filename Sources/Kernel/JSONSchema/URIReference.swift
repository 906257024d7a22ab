/// A URI reference (RFC 3986) in its five parts, to resolve `$id` and `$ref`.
struct URIReference: Equatable {
    var scheme: String?
    var authority: String?
    var path: String
    var query: String?
    var fragment: String?

    /// Splits as RFC 3986 appendix B does; any text has parts.
    init(_ text: String) {
        var rest: Substring.UTF8View = text[...].utf8
        if let hash: Substring.UTF8View.Index = rest.firstIndex(of: UInt8(ascii: "#")) {
            self.fragment = String(rest[rest.index(after: hash)...])
            rest = rest[..<hash]
        }
        if let mark: Substring.UTF8View.Index = rest.firstIndex(of: UInt8(ascii: "?")) {
            self.query = String(rest[rest.index(after: mark)...])
            rest = rest[..<mark]
        }
        let end: Substring.UTF8View.Index? = rest.firstIndex { ":/".utf8.contains($0) }
        if let end, end > rest.startIndex, rest[end] == UInt8(ascii: ":") {
            self.scheme = String(rest[..<end])
            rest = rest[rest.index(after: end)...]
        }
        if rest.starts(with: "//".utf8) {
            rest = rest.dropFirst(2)
            let slash: Substring.UTF8View.Index = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
            self.authority = String(rest[..<slash])
            rest = rest[slash...]
        }
        self.path = String(Substring(rest))
    }

    /// What this reference means at `base` (RFC 3986 section 5.2.2).
    func resolved(against base: URIReference) -> URIReference {
        var target: URIReference = self
        if self.scheme != nil {
            target.path = Self.withoutDots(self.path)
            return target
        }
        target.scheme = base.scheme
        if self.authority != nil {
            target.path = Self.withoutDots(self.path)
            return target
        }
        target.authority = base.authority
        if self.path.isEmpty {
            target.path = base.path
            target.query = self.query ?? base.query
            return target
        }
        target.path = Self.withoutDots(self.path.utf8.first == UInt8(ascii: "/") ? self.path : base.merged(self.path))
        return target
    }

    /// RFC 3986 section 5.2.3.
    private func merged(_ path: String) -> String {
        if self.authority != nil && self.path.isEmpty { return "/" + path }
        guard let slash: String.UTF8View.Index = self.path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(self.path[...slash]) + path
    }

    /// RFC 3986 section 5.2.4.
    private static func withoutDots(_ path: String) -> String {
        var parts: [Substring.UTF8View] = []
        let isAbsolute: Bool = path.utf8.first == UInt8(ascii: "/")
        let segments: [Substring.UTF8View] = path.utf8.split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard segments.contains(where: { $0.elementsEqual(".".utf8) || $0.elementsEqual("..".utf8) }) else {
            return path
        }
        for (index, segment) in segments.enumerated() {
            let isLast: Bool = index == segments.count - 1
            if segment.elementsEqual("..".utf8) {
                if parts.count > (isAbsolute ? 1 : 0) { parts.removeLast() }
                if isLast { parts.append(""[...].utf8) }
            } else if segment.elementsEqual(".".utf8) {
                if isLast { parts.append(""[...].utf8) }
            } else {
                parts.append(segment)
            }
        }
        return parts.map { String(Substring($0)) }.joined(separator: "/")
    }

    /// Written again, without the fragment: what names a document.
    var documentText: String {
        var text: String = ""
        if let scheme: String = self.scheme { text += scheme + ":" }
        if let authority: String = self.authority { text += "//" + authority }
        text += self.path
        if let query: String = self.query { text += "?" + query }
        return text
    }
}
