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
        try RequestView.with(
            method: self.method, host: self.host, path: self.path, query: self.query,
            headers: self.headers.map { (name: $0.0, value: $0.1) }
        ) { view in
            var view: RequestView = view
            view.remote = IPAddress(text: self.remote) ?? IPAddress(ipv4: 0)
            view.contentLength = self.contentLength
            return try body(view)
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
