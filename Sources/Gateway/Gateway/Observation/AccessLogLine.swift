import GatewayConfiguration
import HTTP
import JSON
import Time

/// Writes a record as one line of JSON. Fields without a value are left out.
///
/// Under load many records begin in the same millisecond and come from the same few clients: the texts of the last of each are
/// kept, and so is what names of routes, applications and targets look like in JSON.
struct AccessLogLine {
    private let fields: [AccessLogField]
    private let names: NameFields
    private let addresses: LoggedAddresses
    private var millisecond: Int64 = .min
    private var time: [UInt8] = []
    private var address: IPAddress?
    private var client: [UInt8] = []

    /// More than all fields take that are no names and no path.
    private static let ownBytes: Int = 1024
    /// A byte of a path is escaped with six.
    private static let escapeBytes: Int = 6

    init(_ rules: AccessLogRules) {
        self.fields = AccessLogField.allCases.filter { rules.fields.contains($0) }
        self.names = NameFields(rules.fields)
        self.addresses = rules.addresses
    }

    /// What a line takes at most.
    func bytesMost(_ index: Int, of batch: RecordBatch) -> Int {
        let record: RequestRecord = batch.records[index]
        var most: Int = Self.ownBytes + batch.withPath(at: index) { $0?.count ?? 0 } * Self.escapeBytes
        for number in [record.route, record.target, record.application, record.subscription] {
            most += self.names.count(of: number, in: batch)
        }
        return most
    }

    /// Writes the line; there is room for `bytesMost`.
    mutating func append(_ index: Int, of batch: RecordBatch, to out: inout ScratchWriter) {
        let record: RequestRecord = batch.records[index]
        let start: Int = out.count
        for field in self.fields { self.append(field, record, index, batch, &out) }
        // Every field began with a comma.
        if out.count == start {
            out.append("{")
        } else {
            out.base.storeBytes(of: UInt8(ascii: "{"), toByteOffset: start, as: UInt8.self)
        }
        out.append("}\n")
    }

    @inline(__always)
    private mutating func append(
        _ field: AccessLogField, _ record: RequestRecord, _ index: Int, _ batch: RecordBatch,
        _ out: inout ScratchWriter
    ) {
        switch field {
        case .time:
            self.setTime(record.started)
            out.append(self.time)
        case .client:
            self.setClient(record.client)
            out.append(self.client)
        case .method: self.appendMethod(record.method, &out)
        case .path: batch.withPath(at: index) { Self.append(path: $0, &out) }
        case .status: Self.append(",\"status\":", UInt64(record.status), &out)
        case .duration: Self.append(",\"duration_us\":", UInt64(record.durationMicroseconds), &out)
        case .upstream:
            if record.upstreamMicroseconds > 0 {
                Self.append(",\"upstream_us\":", UInt64(record.upstreamMicroseconds), &out)
            }
        case .bytesIn: Self.append(",\"bytes_in\":", record.bytesIn, &out)
        case .bytesOut: Self.append(",\"bytes_out\":", record.bytesOut, &out)
        // All that is known of a route stands together, where the first of it belongs.
        case .tenant, .api, .route:
            if field == self.names.firstOfRoute { self.names.append(record.route, in: batch, &out) }
        case .target: self.names.append(record.target, in: batch, &out)
        case .application: self.names.append(record.application, in: batch, &out)
        case .subscription: self.names.append(record.subscription, in: batch, &out)
        case .reason:
            if record.reason != .none {
                out.append(",\"reason\":\"")
                out.append(text: record.reason.slug)
                out.append("\"")
            }
        case .trace:
            if record.traceHigh | record.traceLow != 0 {
                out.append(",\"trace_id\":\"")
                out.append(hexadecimal: record.traceHigh)
                out.append(hexadecimal: record.traceLow)
                out.append("\"")
            }
        case .span:
            if record.span != 0 {
                out.append(",\"span_id\":\"")
                out.append(hexadecimal: record.span)
                out.append("\"")
            }
        }
    }

    @inline(__always)
    private static func append(_ name: StaticString, _ value: UInt64, _ out: inout ScratchWriter) {
        out.append(name)
        out.append(decimal: Int(clamping: value))
    }

    @inline(__always)
    private func appendMethod(_ method: MethodCode, _ out: inout ScratchWriter) {
        let name: StaticString = method.name
        if name.utf8CodeUnitCount == 0 { return }
        out.append(",\"method\":\"")
        out.append(name)
        out.append("\"")
    }

    /// Paths hold few characters that JSON escapes: whether there are any is seen eight bytes at a time.
    private static func append(path: UnsafeRawBufferPointer?, _ out: inout ScratchWriter) {
        guard let path else { return }
        out.append(",\"path\":")
        if JSONText.isPlain(path) {
            out.append("\"")
            out.append(path)
            out.append("\"")
        } else {
            var writer: JSONWriter = JSONWriter(reserving: path.count * 2)
            writer.string(utf8: path)
            out.append(writer.bytes)
        }
    }

    private mutating func setTime(_ nanoseconds: Int64) {
        let millisecond: Int64 = nanoseconds / 1_000_000
        if millisecond == self.millisecond { return }
        self.millisecond = millisecond
        self.time = Array(",\"time\":\"\(Timestamp(nanoseconds: nanoseconds).rfc3339)\"".utf8)
    }

    private mutating func setClient(_ address: IPAddress) {
        if address == self.address { return }
        self.address = address
        let shown: String = self.addresses.shown(address)?.text ?? ""
        self.client = shown.isEmpty ? [] : Array(",\"client\":\"\(shown)\"".utf8)
    }
}

/// The fields of a line that are names of the configuration, as they stand in it: made once for each number.
private final class NameFields {
    /// The first of the fields about a route that lines have; nil: none.
    let firstOfRoute: AccessLogField?
    private let fields: Set<AccessLogField>
    /// Where the fields of each number stand in `texts`, and where they end; 0: not made yet.
    private var places: [(start: UInt32, end: UInt32)] = []
    private var texts: [UInt8] = []

    /// Texts are made anew when so many have gathered.
    private static let textsMax: Int = 4 << 20

    init(_ fields: Set<AccessLogField>) {
        self.fields = fields
        self.firstOfRoute = [AccessLogField.tenant, .api, .route].first { fields.contains($0) }
    }

    @inline(__always)
    func count(of number: IdentityNumber, in batch: RecordBatch) -> Int {
        let (start, end): (UInt32, UInt32) = self.place(of: number, in: batch)
        return Int(end - start)
    }

    @inline(__always)
    func append(_ number: IdentityNumber, in batch: RecordBatch, _ out: inout ScratchWriter) {
        let (start, end): (UInt32, UInt32) = self.place(of: number, in: batch)
        self.texts.withUnsafeBytes { out.append(UnsafeRawBufferPointer(rebasing: $0[Int(start)..<Int(end)])) }
    }

    @inline(__always)
    private func place(of number: IdentityNumber, in batch: RecordBatch) -> (UInt32, UInt32) {
        let index: Int = Int(number.value)
        if index < self.places.count, self.places[index].end > 0 {
            return (self.places[index].start, self.places[index].end)
        }
        return self.make(number, in: batch)
    }

    private func make(_ number: IdentityNumber, in batch: RecordBatch) -> (UInt32, UInt32) {
        if self.texts.count > Self.textsMax {
            self.texts = []
            self.places = []
        }
        // So that no end is 0.
        if self.texts.isEmpty { self.texts.append(UInt8(ascii: " ")) }
        let identity: Identity = batch.identity(number)
        let start: UInt32 = UInt32(self.texts.count)
        switch identity.kind {
        case .none: break
        case .route:
            self.add(.tenant, identity.tenant)
            self.add(.api, identity.api)
            self.add(.route, identity.detail)
        case .target: self.add(.target, identity.detail)
        case .application: self.add(.application, identity.detail)
        case .subscription: self.add(.subscription, identity.detail)
        }
        let place: (start: UInt32, end: UInt32) = (start, UInt32(self.texts.count))
        while self.places.count <= Int(number.value) { self.places.append((0, 0)) }
        self.places[Int(number.value)] = place
        return place
    }

    private func add(_ field: AccessLogField, _ value: String) {
        if value.isEmpty || !self.fields.contains(field) { return }
        var writer: JSONWriter = JSONWriter()
        writer.string(value)
        self.texts.append(contentsOf: ",\"\(field.rawValue)\":".utf8)
        self.texts.append(contentsOf: writer.bytes)
    }
}

/// Text as JSON strings hold it.
private enum JSONText {
    /// Whether every byte stands for itself: no quote, no backslash, nothing below the space, nothing beyond ASCII.
    static func isPlain(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index: Int = 0
        let ones: UInt64 = 0x0101_0101_0101_0101
        while index &+ 8 <= bytes.count {
            let word: UInt64 = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let seven: UInt64 = word & (ones &* 0x7F)
            // Bit 7 of a sum says that the byte reaches the bound, or differs.
            let isVisible: UInt64 = seven &+ (ones &* (0x80 - 0x20))
            let isNoQuote: UInt64 = (seven ^ (ones &* 0x22)) &+ (ones &* 0x7F)
            let isNoBackslash: UInt64 = (seven ^ (ones &* 0x5C)) &+ (ones &* 0x7F)
            if isVisible & isNoQuote & isNoBackslash & ~word & (ones &* 0x80) != ones &* 0x80 { return false }
            index &+= 8
        }
        while index < bytes.count {
            let byte: UInt8 = bytes[index]
            if byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5C { return false }
            index &+= 1
        }
        return true
    }
}
