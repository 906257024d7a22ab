import GatewayConfiguration

/// Which version of its upstream a request goes to.
struct VersionChoice: Sendable {
    /// What is decided for one request, and stays for all its tries.
    struct Ticket: Equatable {
        var version: UInt8
        /// The number of a cookie the client is given; 0: none.
        var cookie: UInt64 = 0
    }

    /// Makes a request's place among the versions independent of its place among targets and zones.
    private static let salt: UInt64 = 0x7665_7273_696f_6e73

    private let names: [[UInt8]]
    /// The sum of the weights up to and with each version.
    private let sums: [UInt64]
    private let sticky: BalanceKey?
    private let force: BalanceKey?
    private let setsCookie: Bool
    /// `Set-Cookie: NAME=`
    let cookieStart: [UInt8]

    init(_ definition: CanaryDefinition) {
        self.names = definition.versions.map { Array($0.name.utf8) }
        var sums: [UInt64] = []
        for version in definition.versions { sums.append((sums.last ?? 0) + UInt64(version.weight)) }
        self.sums = sums
        self.sticky = definition.sticky.map { BalanceKey($0) }
        self.force = definition.force.map { BalanceKey($0) }
        self.setsCookie = definition.setCookie
        var cookieStart: [UInt8] = []
        if definition.setCookie, case .cookie(let name) = definition.sticky {
            cookieStart = Array("Set-Cookie: \(name)=".utf8)
        }
        self.cookieStart = cookieStart
    }

    /// The version a request names, the one its key leads to, or one by chance.
    func choose(_ request: RequestView, using random: inout some RandomNumberGenerator) -> Ticket {
        if let value: UnsafeRawBufferPointer = self.force?.text(request), let version: Int = self.named(value) {
            return Ticket(version: UInt8(truncatingIfNeeded: version))
        }
        let key: UInt64 = self.sticky?.number(request) ?? 0
        if key != 0 { return Ticket(version: self.version(of: key)) }
        let number: UInt64 = random.next() | 1
        guard self.setsCookie else { return Ticket(version: self.version(of: number)) }
        // What the next request's cookie will say, read as it will be read.
        let next: UInt64 = VersionChoice.hexadecimal(number).withUnsafeBytes { StableHash.hash($0) }
        return Ticket(version: self.version(of: next), cookie: number)
    }

    /// The version of a key. A key leaves a version only when that one's share shrinks: with the canary last, a share that grows
    /// keeps those it has.
    func version(of key: UInt64) -> UInt8 {
        guard let total: UInt64 = self.sums.last else { return 0 }
        let place: UInt64 = StableHash.mix(key ^ VersionChoice.salt).multipliedFullWidth(by: total).high
        for (index, sum) in self.sums.enumerated() where place < sum { return UInt8(truncatingIfNeeded: index) }
        return 0
    }

    private func named(_ value: UnsafeRawBufferPointer) -> Int? {
        self.names.firstIndex { (name: [UInt8]) -> Bool in name.count == value.count && name.elementsEqual(value) }
    }

    /// Sixteen digits, as the cookie has them.
    static func hexadecimal(_ number: UInt64) -> [UInt8] {
        var digits: [UInt8] = []
        digits.reserveCapacity(16)
        for shift in stride(from: UInt64(60), through: 0, by: -4) {
            let digit: UInt8 = UInt8(truncatingIfNeeded: number >> shift) & 15
            digits.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
        }
        return digits
    }
}
