import Crypto

/// What a certificate may say, and how long it may be valid. Pure.
enum CertificateRules {
    /// DNS names and addresses of one certificate at most.
    static let namesMax: Int = 50
    /// Bytes of a common name.
    static let commonNameMax: Int = 64
    /// Seconds of validity: default and bounds of what is issued on demand.
    static let lifetimeDefault: Int64 = 90 * 86_400
    static let lifetimes: ClosedRange<Int64> = 60...398 * 86_400
    /// Certificates of one tenant that have not ended, at most.
    static let countMax: Int64 = 10_000
    /// Domains and ranges a tenant may be allowed, at most.
    static let allowedMax: Int = 100

    /// A root's seconds, and an issuing authority's.
    static let rootLifetime: Int64 = 20 * 365 * 86_400
    static let issuingLifetime: Int64 = 5 * 365 * 86_400
    /// With less than that left an issuing authority gets a successor: what it issues must not end before its time.
    static let issuingLeft: Int64 = lifetimes.upperBound + 30 * 86_400
    /// Clocks differ: what is issued is valid from so many seconds before.
    static let backdated: Int64 = 300
    /// How long a list of revoked certificates is good, and after how long there is the next one. Seconds.
    static let listLifetime: Int64 = 7 * 86_400
    static let listEvery: Int64 = 86_400
    /// How long others may keep one. Seconds.
    static let listCached: Int64 = 300
    /// Days before its end at which a certificate is told of.
    static let alertDays: [Int64] = [30, 7, 1]

    /// What is wrong with a name; nil when it is a DNS name (also `*.example.com`) or an address.
    static func problem(name: String) -> String? {
        if AddressBlock.bytes(name) != nil { return nil }
        let host: Substring = name.hasPrefix("*.") ? name.dropFirst(2) : name[...]
        if name.hasPrefix("*."), !host.contains(".") {
            return "expected a domain with at least two labels below the star, such as *.example.com"
        }
        return Self.isDomain(host)
            ? nil : "expected a DNS name in lower case, such as api.example.com, or an IP address"
    }

    /// What is wrong with a domain or a range of addresses that is to be allowed; nil when it is one.
    static func problem(allowed: String) -> String? {
        if AddressBlock(allowed) != nil || Self.isDomain(allowed[...]) { return nil }
        return "expected a domain such as example.com, or a range of addresses such as 10.1.0.0/16"
    }

    private static func isDomain(_ text: Substring) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        let labels: [Substring] = text.split(separator: ".", omittingEmptySubsequences: false)
        for label in labels {
            let isFine: Bool = label.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
            }
            guard isFine, (1...63).contains(label.utf8.count), !label.hasPrefix("-"), !label.hasSuffix("-") else {
                return false
            }
        }
        // All digits: an address that is none.
        return labels.last.map { !$0.utf8.allSatisfy { (0x30...0x39).contains($0) } } ?? false
    }

    /// What is wrong with a common name; nil when nothing is.
    static func problem(commonName: String) -> String? {
        let isFine: Bool = commonName.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        if isFine, (1...Self.commonNameMax).contains(commonName.utf8.count) { return nil }
        return "expected 1 to \(Self.commonNameMax) bytes of text"
    }

    /// The constraints that allowed domains and ranges make.
    static func constraints(_ allowed: [String]) -> NameConstraints {
        var domains: [String] = []
        var ranges: [AddressBlock] = []
        for entry in allowed {
            if let range: AddressBlock = AddressBlock(entry) { ranges.append(range) } else { domains.append(entry) }
        }
        return NameConstraints(domains: domains, ranges: ranges)
    }

    /// The days before the end that are to be told of now; nil when none is.
    ///
    /// A certificate that lives shortly is not told of from its first day: only what is at most half of its life counts.
    /// - Parameter told: the days that were told of last; 0 for none.
    static func alert(notBefore: Int64, notAfter: Int64, now: Int64, told: Int64) -> Int64? {
        let life: Int64 = notAfter - notBefore
        var due: Int64?
        for days in Self.alertDays where days * 86_400 * 2 <= life && notAfter - now <= days * 86_400 { due = days }
        guard let due: Int64, notAfter > now, told == 0 || due < told else { return nil }
        return due
    }

    /// When what renews itself does so: at two thirds of its life, which begins when it is made.
    static func renewAt(notBefore: Int64, notAfter: Int64) -> Int64 {
        let made: Int64 = notBefore + Self.backdated
        return made + (notAfter - made) * 2 / 3
    }
}
