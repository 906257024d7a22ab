/// How large a QR code of level M is, and how its bytes are arranged and protected (ISO/IEC 18004 tables 1, 9 and E.1).
struct QRVersion: Sendable {
    /// 1 to 20.
    let number: Int

    /// Bytes of error correction of each block, and blocks, by version.
    private static let correction: [(bytes: Int, blocks: Int)] = [
        (10, 1), (16, 1), (26, 1), (18, 2), (24, 2), (16, 4), (18, 4), (22, 4), (22, 5), (26, 5),
        (30, 5), (22, 8), (22, 9), (24, 9), (24, 10), (28, 10), (28, 11), (26, 13), (26, 14), (26, 16),
    ]

    static func smallest(for count: Int) -> QRVersion? {
        for number in 1...Self.correction.count {
            let version: QRVersion = QRVersion(number: number)
            if count <= version.dataBytes - (number < 10 ? 2 : 3) { return version }
        }
        return nil
    }

    var side: Int { self.number * 4 + 17 }

    private var bytesPerCorrection: Int { Self.correction[self.number - 1].bytes }
    private var blocks: Int { Self.correction[self.number - 1].blocks }

    /// Bytes in all: the modules that no pattern takes, by eights.
    private var allBytes: Int {
        var modules: Int = (16 * self.number + 128) * self.number + 64
        if self.number >= 2 {
            let count: Int = self.number / 7 + 2
            modules -= (25 * count - 10) * count - 55
            if self.number >= 7 { modules -= 36 }
        }
        return modules / 8
    }

    private var dataBytes: Int { self.allBytes - self.bytesPerCorrection * self.blocks }

    /// Rows, and columns, of the alignment patterns' centres.
    var alignmentCentres: [Int] {
        if self.number == 1 { return [] }
        let count: Int = self.number / 7 + 2
        let step: Int = (self.number * 4 + count * 2 + 1) / (count * 2 - 2) * 2
        var centres: [Int] = [6]
        for index in (0..<count - 1).reversed() { centres.append(self.side - 7 - index * step) }
        return centres
    }

    // MARK: Bytes

    /// Data and error correction, block by block, interleaved (section 7.6). - Precondition: they fit.
    func codewords(of bytes: [UInt8]) -> [UInt8] {
        let data: [UInt8] = self.padded(bytes)
        let generator: [UInt8] = Self.generator(self.bytesPerCorrection)
        let short: Int = data.count / self.blocks
        let longBlocks: Int = data.count % self.blocks
        var parts: [[UInt8]] = []
        var offset: Int = 0
        for block in 0..<self.blocks {
            let count: Int = short + (block >= self.blocks - longBlocks ? 1 : 0)
            parts.append(Array(data[offset..<offset + count]))
            offset += count
        }
        var all: [UInt8] = []
        for index in 0...short { for part in parts where index < part.count { all.append(part[index]) } }
        let corrections: [[UInt8]] = parts.map { Self.remainder($0, generator) }
        for index in 0..<self.bytesPerCorrection { for part in corrections { all.append(part[index]) } }
        return all
    }

    /// Mode "bytes", their number, the bytes, the end, and filling (section 7.4).
    private func padded(_ bytes: [UInt8]) -> [UInt8] {
        var nibbles: [UInt8] = [4]
        let width: Int = self.number < 10 ? 2 : 4
        for index in (0..<width).reversed() {
            nibbles.append(UInt8(truncatingIfNeeded: bytes.count >> (4 * index)) & 15)
        }
        for byte in bytes { nibbles += [byte >> 4, byte & 15] }
        nibbles.append(0)
        if nibbles.count % 2 == 1 { nibbles.append(0) }
        var data: [UInt8] = []
        for index in stride(from: 0, to: nibbles.count, by: 2) { data.append(nibbles[index] << 4 | nibbles[index + 1]) }
        var filling: UInt8 = 0xEC
        while data.count < self.dataBytes {
            data.append(filling)
            filling ^= 0xEC ^ 0x11
        }
        return Array(data.prefix(self.dataBytes))
    }

    // MARK: Reed-Solomon, over the field of 256 elements with x^8 + x^4 + x^3 + x^2 + 1

    private static func product(_ left: UInt8, _ right: UInt8) -> UInt8 {
        var product: Int = 0
        for bit in (0..<8).reversed() {
            product = product << 1 ^ (product >> 7) * 0x11D
            product ^= Int(right >> UInt8(bit) & 1) * Int(left)
        }
        return UInt8(truncatingIfNeeded: product)
    }

    /// Without its leading one.
    private static func generator(_ degree: Int) -> [UInt8] {
        var polynomial: [UInt8] = [UInt8](repeating: 0, count: degree)
        polynomial[degree - 1] = 1
        var root: UInt8 = 1
        for _ in 0..<degree {
            for index in 0..<degree {
                polynomial[index] = Self.product(polynomial[index], root)
                if index + 1 < degree { polynomial[index] ^= polynomial[index + 1] }
            }
            root = Self.product(root, 2)
        }
        return polynomial
    }

    private static func remainder(_ data: [UInt8], _ generator: [UInt8]) -> [UInt8] {
        var rest: [UInt8] = [UInt8](repeating: 0, count: generator.count)
        for byte in data {
            let factor: UInt8 = byte ^ rest.removeFirst()
            rest.append(0)
            for index in 0..<rest.count { rest[index] ^= Self.product(generator[index], factor) }
        }
        return rest
    }
}
