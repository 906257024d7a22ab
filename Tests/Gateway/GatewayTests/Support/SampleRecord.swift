import GatewayConfiguration
import HTTP

@testable import Gateway

extension RequestRecord {
    /// A GET that the API `orders` of `acme` has forwarded for the application `shop`, and that was answered 200.
    static func sample(_ live: LiveState) -> RequestRecord {
        func number(_ kind: Identity.Kind, _ detail: String, api: String = "orders") -> IdentityNumber {
            live.identities.number(Identity(kind: kind, tenant: "acme", api: api, detail: detail))
        }
        var record: RequestRecord = RequestRecord()
        record.route = number(.route, "GET /orders/{id}")
        record.application = number(.application, "shop", api: "")
        record.subscription = number(.subscription, "shop/orders")
        record.target = number(.target, "http://127.0.0.1:9700")
        record.status = 200
        record.method = .get
        record.started = 1_767_323_045_678_000_000
        record.durationMicroseconds = 1500
        record.upstreamMicroseconds = 900
        record.bytesIn = 10
        record.bytesOut = 200
        record.client = IPAddress(ipv4: 0xc000_0207)
        record.traceHigh = 0x0af7_6519_16cd_43dd
        record.traceLow = 1
        return record
    }
}
