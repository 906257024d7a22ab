package import HTTP

/// A set of methods; bit n is the method with code n. An empty set of a route means every method.
package struct MethodSet: OptionSet, Sendable, Hashable, BitwiseCopyable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package init(_ code: MethodCode) {
        self.rawValue = 1 << UInt16(code.rawValue)
    }

    /// The methods of a route definition; names that are no method of routes are left out (reading refuses them before).
    package init(names: [String]) {
        var set: MethodSet = []
        for name in names {
            let code: MethodCode = MethodCode(name)
            if code != .other { set.insert(MethodSet(code)) }
        }
        self = set
    }

    package static let all: MethodSet = MethodSet(rawValue: 0x3ff)

    package func contains(_ code: MethodCode) -> Bool {
        self.rawValue >> UInt16(code.rawValue) & 1 != 0
    }

    /// The value of an `Allow` field for this set, ready to send. `HEAD` follows from `GET`, and `OPTIONS` is always there,
    /// because the gateway answers it where no route does.
    package var allowText: [UInt8] { Self.allowTexts[Int(self.rawValue & 0x1ff)] }

    /// A text for every set, made at first use: an answer costs no allocation.
    private static let allowTexts: [[UInt8]] = (0..<512).map { (raw: Int) -> [UInt8] in
        var set: MethodSet = MethodSet(rawValue: UInt16(raw))
        if set.contains(.get) { set.insert(MethodSet(.head)) }
        set.insert(MethodSet(.options))
        set.remove(MethodSet(.connect))
        var names: [String] = []
        for code in MethodCode.allCases where code != .other && set.contains(code) { names.append("\(code.name)") }
        return Array(names.joined(separator: ", ").utf8)
    }
}
