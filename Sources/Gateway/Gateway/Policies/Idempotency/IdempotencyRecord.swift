import Bytes

/// What gateways tell each other of a request with an idempotency key; on its way `IdempotencySeal` closes it.
///
/// ```
/// 1 byte    format: 1
/// 1 byte    state: "p" under way, "d" done, "u" done, but its answer cannot be repeated
/// 32 bytes  fingerprint of the request
/// p: 16 bytes   who claimed it
/// d: 2 bytes    status; 4 bytes length of the fields; the fields, complete lines; the rest is the body
/// ```
/// Numbers are big endian. Bytes that are not of this form are no record. An answer's fields are checked as if a client had sent
/// them, and those that frame a message are left out.
package struct IdempotencyRecord: Sendable {
    enum State: Sendable {
        case inProgress(token: [UInt8])
        case done(LocalAnswer)
        case unrepeatable
    }

    let fingerprint: [UInt8]
    let state: State

    static let format: UInt8 = 1
    static let fingerprintBytes: Int = 32
    static let tokenBytes: Int = 16
    /// Largest answer that is shared, fields and body: beyond it other gateways cannot repeat it.
    static let answerBytesMax: Int = 1 << 20
    private static let fieldsBytesMax: Int = 64 << 10

    init(fingerprint: [UInt8], state: State) {
        self.fingerprint = fingerprint
        self.state = state
    }

    /// Nil: not of this form.
    package init?(_ bytes: [UInt8]) {
        do throws(ByteReaderError) {
            var reader: ByteReader = ByteReader(bytes)
            guard try reader.readUInt8() == Self.format else { return nil }
            let kind: UInt8 = try reader.readUInt8()
            self.fingerprint = try reader.read(Self.fingerprintBytes)
            switch kind {
            case UInt8(ascii: "p"): self.state = .inProgress(token: try reader.read(Self.tokenBytes))
            case UInt8(ascii: "u"): self.state = .unrepeatable
            case UInt8(ascii: "d"):
                guard let answer: LocalAnswer = try Self.answer(&reader) else { return nil }
                self.state = .done(answer)
            default: return nil
            }
            guard reader.isAtEnd else { return nil }
        } catch {
            return nil
        }
    }

    package var bytes: [UInt8] {
        var writer: ByteWriter = ByteWriter()
        writer.appendUInt8(Self.format)
        switch self.state {
        case .inProgress(let token):
            writer.appendUInt8(UInt8(ascii: "p"))
            writer.bytes.append(contentsOf: self.fingerprint)
            writer.bytes.append(contentsOf: token)
        case .unrepeatable:
            writer.appendUInt8(UInt8(ascii: "u"))
            writer.bytes.append(contentsOf: self.fingerprint)
        case .done(let answer):
            writer.appendUInt8(UInt8(ascii: "d"))
            writer.bytes.append(contentsOf: self.fingerprint)
            writer.appendUInt16(UInt16(clamping: answer.status))
            writer.appendUInt32(UInt32(clamping: answer.fields.bytes.count))
            writer.bytes.append(contentsOf: answer.fields.bytes)
            for piece in answer.body { writer.bytes.append(contentsOf: piece) }
        }
        return writer.bytes
    }

    private static func answer(_ reader: inout ByteReader) throws(ByteReaderError) -> LocalAnswer? {
        let status: Int = Int(try reader.readUInt16())
        guard (200...599).contains(status) else { return nil }
        let count: Int = Int(try reader.readUInt32())
        guard count <= Self.fieldsBytesMax, let fields: FieldLines = Self.fields(try reader.read(count)) else {
            return nil
        }
        let body: [UInt8] = try reader.read(reader.remaining)
        return LocalAnswer(status: status, fields: fields, body: body.isEmpty ? [] : [body])
    }

    private static func fields(_ bytes: [UInt8]) -> FieldLines? {
        var fields: FieldLines = FieldLines()
        var rest: ArraySlice<UInt8> = bytes[...]
        while !rest.isEmpty {
            guard let end: Int = rest.firstIndex(of: 0x0D), end + 1 < rest.endIndex, rest[end + 1] == 0x0A,
                let colon: Int = rest[..<end].firstIndex(of: 0x3A), colon > rest.startIndex, colon + 1 < end,
                rest[colon + 1] == 0x20
            else { return nil }
            let name: ArraySlice<UInt8> = rest[..<colon]
            let value: ArraySlice<UInt8> = rest[(colon + 2)..<end]
            let text: String = String(decoding: name, as: UTF8.self)
            guard name.allSatisfy(FieldBytes.isToken), value.allSatisfy({ $0 == 0x09 || $0 >= 0x20 && $0 != 0x7F })
            else { return nil }
            if !Self.framing.contains(text.lowercased()) { fields.add(text, Array(value)) }
            rest = rest[(end + 2)...]
        }
        return fields
    }

    /// Fields that belong to one message on one connection.
    private static let framing: Set<String> = [
        "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
        "proxy-connection",
    ]
}
