/// The URL of a Server Object: variables in braces, perhaps relative.
enum ServerURL {
    /// The names of the variables, or nil when braces do not match.
    static func variables(of url: String) -> [String]? {
        var names: [String] = []
        var name: [UInt8]? = nil
        for byte: UInt8 in url.utf8 {
            switch byte {
            case UInt8(ascii: "{"):
                if name != nil { return nil }
                name = []
            case UInt8(ascii: "}"):
                guard let bytes: [UInt8] = name, !bytes.isEmpty else { return nil }
                names.append(String(decoding: bytes, as: UTF8.self))
                name = nil
            default: name?.append(byte)
            }
        }
        return name == nil ? names : nil
    }

    /// The URL with every variable replaced by what `value` gives for it.
    static func expanded(_ url: String, _ value: (String) -> String) -> String {
        var expanded: [UInt8] = []
        var name: [UInt8]? = nil
        for byte: UInt8 in url.utf8 {
            switch byte {
            case UInt8(ascii: "{"): name = []
            case UInt8(ascii: "}"):
                expanded.append(contentsOf: value(String(decoding: name ?? [], as: UTF8.self)).utf8)
                name = nil
            default:
                if name == nil { expanded.append(byte) } else { name?.append(byte) }
            }
        }
        return String(decoding: expanded, as: UTF8.self)
    }

    /// The path of an absolute or relative URL without its last "/"; nil when nothing is left.
    static func path(of url: String) -> String? {
        var rest: Substring = url[...]
        if let scheme: Range<Substring.Index> = Self.range(of: "://", in: rest) {
            rest = rest[scheme.upperBound...]
            guard let slash: Substring.Index = rest.firstIndex(of: "/") else { return nil }
            rest = rest[slash...]
        }
        if let end: Substring.Index = rest.firstIndex(where: { $0 == "?" || $0 == "#" }) { rest = rest[..<end] }
        while rest.last == "/" { rest.removeLast() }
        guard rest.first == "/" else { return nil }
        return String(rest)
    }

    private static func range(of mark: String, in text: Substring) -> Range<Substring.Index>? {
        guard let colon: Substring.Index = text.firstIndex(of: ":"), text[colon...].hasPrefix(mark) else { return nil }
        return colon..<text.index(colon, offsetBy: mark.count)
    }
}
