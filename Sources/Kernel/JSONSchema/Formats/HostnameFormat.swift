/// Host names (RFC 1123 section 2.1) and, with characters beyond ASCII, internationalised ones (RFC 5890 to 5892).
enum HostnameFormat {
    /// Bytes of a name and of one label at most, RFC 1035 section 2.3.4.
    private static let lengthMax: Int = 253
    private static let labelMax: Int = 63

    static func matches(_ text: String, isInternational: Bool) -> Bool {
        guard !text.isEmpty, text.utf8.count <= self.lengthMax * 4 else { return false }
        var labels: [[Unicode.Scalar]] = [[]]
        var length: Int = 0
        for scalar: Unicode.Scalar in text.unicodeScalars {
            // Full stops of other scripts separate labels as well (RFC 3490 section 3.1).
            let isDot: Bool =
                scalar == "." || (isInternational && "\u{3002}\u{ff0e}\u{ff61}".unicodeScalars.contains(scalar))
            if isDot { labels.append([]) } else { labels[labels.count - 1].append(scalar) }
        }
        for label: [Unicode.Scalar] in labels {
            guard let bytes: Int = self.encodedLength(of: label, isInternational: isInternational) else { return false }
            length += bytes + 1
        }
        return length - 1 <= self.lengthMax
    }

    /// Bytes of the label on the wire, or nil when it is none.
    private static func encodedLength(of label: [Unicode.Scalar], isInternational: Bool) -> Int? {
        guard let first: Unicode.Scalar = label.first, first != "-", label.last != "-" else { return nil }
        if label.allSatisfy({ $0.isASCII }) {
            guard label.count <= self.labelMax else { return nil }
            for scalar: Unicode.Scalar in label {
                let byte: UInt8 = UInt8(truncatingIfNeeded: scalar.value)
                if !NameFormat.isLetter(byte) && !NameFormat.isDigit(byte) && byte != UInt8(ascii: "-") { return nil }
            }
            guard label.count >= 4, label[2] == "-", label[3] == "-" else { return label.count }
            // "--" there is kept for encodings, and `xn` is the only one.
            guard String(String.UnicodeScalarView(label[..<2])).lowercased() == "xn",
                let decoded: [Unicode.Scalar] = Punycode.decode(
                    label[4...].map { UInt8(truncatingIfNeeded: $0.value) }),
                decoded.contains(where: { !$0.isASCII }), InternationalLabel.isValid(decoded)
            else { return nil }
            return label.count
        }
        guard isInternational, InternationalLabel.isValid(label) else { return nil }
        let length: Int = 4 + Punycode.encodedLength(label)
        return length <= self.labelMax ? length : nil
    }
}

/// What a label beyond ASCII may hold (RFC 5892), with the rules for characters that need company (its appendix A).
///
/// Not checked: the order of right-to-left characters (RFC 5893), and joiners that letters on both sides would allow.
enum InternationalLabel {
    /// RFC 5892 section 2.6: exceptions that are never allowed, although they are letters or marks.
    private static let refused: Set<UInt32> = [
        0x0640, 0x07fa, 0x302e, 0x302f, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035, 0x303b,
    ]
    /// Exceptions that are allowed.
    private static let allowed: Set<UInt32> = [0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007]

    static func isValid(_ label: [Unicode.Scalar]) -> Bool {
        guard let first: Unicode.Scalar = label.first, first != "-", label.last != "-",
            !(label.count >= 4 && label[2] == "-" && label[3] == "-")
        else { return false }
        switch first.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return false
        default: break
        }
        for (index, scalar) in label.enumerated() where !self.isAllowed(scalar, at: index, in: label) { return false }
        return true
    }

    private static func isAllowed(_ scalar: Unicode.Scalar, at index: Int, in label: [Unicode.Scalar]) -> Bool {
        let value: UInt32 = scalar.value
        if scalar == "-" || self.allowed.contains(value) { return true }
        if self.refused.contains(value) { return false }
        func neighbour(_ offset: Int) -> UInt32? {
            label.indices.contains(index + offset) ? label[index + offset].value : nil
        }
        switch value {
        case 0xb7: return neighbour(-1) == 0x6c && neighbour(1) == 0x6c
        case 0x375: return neighbour(1).map { (0x370...0x3ff).contains($0) } ?? false
        case 0x5f3, 0x5f4: return neighbour(-1).map { (0x590...0x5ff).contains($0) } ?? false
        case 0x30fb: return label.contains { self.isJapanese($0.value) }
        case 0x660...0x669: return !label.contains { (0x6f0...0x6f9).contains($0.value) }
        case 0x6f0...0x6f9: return !label.contains { (0x660...0x669).contains($0.value) }
        case 0x200c, 0x200d:
            return neighbour(-1).flatMap { Unicode.Scalar($0) }.map {
                $0.properties.canonicalCombiningClass == .virama
            } ?? false
        default: break
        }
        // A character that changes under case folding or normalisation is not stable (section 2.2).
        if scalar.properties.changesWhenNFKCCaseFolded { return false }
        switch scalar.properties.generalCategory {
        case .lowercaseLetter, .otherLetter, .modifierLetter, .nonspacingMark, .spacingMark, .decimalNumber: return true
        default: return false
        }
    }

    /// Hiragana, Katakana or Han.
    private static func isJapanese(_ value: UInt32) -> Bool {
        (0x3041...0x30ff).contains(value) && value != 0x30fb || (0x3400...0x9fff).contains(value) || value == 0x3005
            || value == 0x3007 || (0x20000...0x3ffff).contains(value)
    }
}

/// Bootstring for host names (RFC 3492).
enum Punycode {
    private static let base: Int = 36
    private static let tMin: Int = 1
    private static let tMax: Int = 26

    private struct State {
        var bias: Int = 72
        var value: Int = 128

        func threshold(_ k: Int) -> Int { min(max(k - self.bias, Punycode.tMin), Punycode.tMax) }

        mutating func adapt(_ delta: Int, points: Int, isFirst: Bool) {
            var delta: Int = isFirst ? delta / 700 : delta / 2
            delta += delta / points
            var k: Int = 0
            while delta > (Punycode.base - Punycode.tMin) * Punycode.tMax / 2 {
                delta /= Punycode.base - Punycode.tMin
                k += Punycode.base
            }
            self.bias = k + (Punycode.base - Punycode.tMin + 1) * delta / (delta + 38)
        }
    }

    /// The label behind `xn--`, or nil when it encodes nothing. Labels are at most 63 bytes long.
    static func decode(_ text: [UInt8]) -> [Unicode.Scalar]? {
        var output: [Unicode.Scalar] = []
        var rest: ArraySlice<UInt8> = text[...]
        if let hyphen: Int = text.lastIndex(of: UInt8(ascii: "-")) {
            for byte: UInt8 in text[..<hyphen] { output.append(Unicode.Scalar(byte)) }
            rest = text[(hyphen + 1)...]
        }
        guard !rest.isEmpty else { return nil }
        var state: State = State()
        var place: Int = 0
        while !rest.isEmpty {
            let before: Int = place
            var weight: Int = 1
            var k: Int = self.base
            while true {
                guard let digit: Int = rest.popFirst().flatMap(self.digit) else { return nil }
                place += digit * weight
                // Far beyond every character: no need to go on, nor to overflow.
                guard place < 1 << 40 else { return nil }
                let threshold: Int = state.threshold(k)
                if digit < threshold { break }
                weight *= self.base - threshold
                k += self.base
                guard weight < 1 << 40 else { return nil }
            }
            let points: Int = output.count + 1
            state.adapt(place - before, points: points, isFirst: before == 0)
            state.value += place / points
            place %= points
            guard let scalar: Unicode.Scalar = UInt32(exactly: state.value).flatMap({ Unicode.Scalar($0) }) else {
                return nil
            }
            output.insert(scalar, at: place)
            place += 1
        }
        return output
    }

    private static func digit(_ byte: UInt8) -> Int? {
        if NameFormat.isDigit(byte) { return Int(byte - UInt8(ascii: "0")) + 26 }
        return NameFormat.isLetter(byte) ? Int(byte | 0x20) - 97 : nil
    }

    /// Bytes that a label takes behind `xn--`.
    static func encodedLength(_ label: [Unicode.Scalar]) -> Int {
        var state: State = State()
        var delta: Int = 0
        let basic: Int = label.filter(\.isASCII).count
        var handled: Int = basic
        var length: Int = basic == 0 ? 0 : basic + 1
        while handled < label.count {
            var next: Int = Int.max
            for scalar: Unicode.Scalar in label where Int(scalar.value) >= state.value {
                next = min(next, Int(scalar.value))
            }
            delta += (next - state.value) * (handled + 1)
            state.value = next
            for scalar: Unicode.Scalar in label {
                if Int(scalar.value) < state.value { delta += 1 }
                guard Int(scalar.value) == state.value else { continue }
                length += self.digits(delta, state)
                state.adapt(delta, points: handled + 1, isFirst: handled == basic)
                delta = 0
                handled += 1
            }
            delta += 1
            state.value += 1
        }
        return length
    }

    private static func digits(_ delta: Int, _ state: State) -> Int {
        var rest: Int = delta
        var count: Int = 1
        var k: Int = self.base
        while rest >= state.threshold(k) {
            let threshold: Int = state.threshold(k)
            rest = (rest - threshold) / (self.base - threshold)
            k += self.base
            count += 1
        }
        return count
    }
}
