import GatewayConfiguration
import HTTP

@testable import Gateway

/// A request as text, laid out in one buffer the way a head is.
struct SampleRequest {
    var method: MethodCode = .get
    var host: String = ""
    var path: String = "/"
    var query: String = ""
    var headers: [(String, String)] = []
    var remote: String = "192.0.2.1"
    var contentLength: Int64 = 0

    /// Calls with a view of the request; `body` must not keep it. The path is taken as it is.
    func withView<Result>(_ body: (RequestView) throws -> Result) rethrows -> Result {
        var bytes: [UInt8] = Array("\(self.host)\u{0}\(self.path)\u{0}\(self.query)\u{0}".utf8)
        var fields: [HTTPField] = []
        for (name, value) in self.headers {
            var field: HTTPField = HTTPField()
            field.nameStart = UInt16(bytes.count)
            field.nameCount = UInt16(name.utf8.count)
            bytes.append(contentsOf: "\(name): ".utf8)
            field.valueStart = UInt16(bytes.count)
            field.valueCount = UInt16(value.utf8.count)
            bytes.append(contentsOf: "\(value)\r\n".utf8)
            fields.append(field)
        }
        return try bytes.withUnsafeBytes { raw in
            try fields.withUnsafeBufferPointer { table in
                let pathStart: Int = self.host.utf8.count + 1
                let queryStart: Int = pathStart + self.path.utf8.count + 1
                return try body(
                    RequestView(
                        method: self.method, host: UnsafeRawBufferPointer(rebasing: raw[0..<self.host.utf8.count]),
                        path: UnsafeRawBufferPointer(rebasing: raw[pathStart..<(pathStart + self.path.utf8.count)]),
                        query: UnsafeRawBufferPointer(rebasing: raw[queryStart..<(queryStart + self.query.utf8.count)]),
                        fields: FieldTable(base: raw.baseAddress, fields: table),
                        remote: IPAddress(text: self.remote) ?? IPAddress(ipv4: 0), contentLength: self.contentLength))
            }
        }
    }
}

/// Numbers that look random and repeat for a seed (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var value: UInt64 = self.state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
