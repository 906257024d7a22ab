import EventLoops
import HTTP

/// What libFuzzer calls with every input: reads it as the lines of both fields in which proxies name callers, and checks that a proxy
/// that appends the address it was called from is believed, whatever stands before it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzProxyFields(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text: String = String(decoding: UnsafeBufferPointer(start: data, count: count), as: UTF8.self)
    let lines: [String] = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    guard let range: AddressRange = AddressRange("10.0.0.0/8"), let proxy = SocketAddress("10.0.0.1:80"),
        let stranger = SocketAddress("192.0.2.9:80"), let caller = SocketAddress("192.0.2.7:0"), lines.count <= 64
    else { return 0 }
    for (field, appended) in [(TrustedProxies.Field.xForwardedFor, caller.host), (.forwarded, "for=\(caller.host)")] {
        let proxies: TrustedProxies = TrustedProxies(ranges: [range], field: field)
        var fields: HTTPFields = HTTPFields()
        for line in lines { fields.append(field.rawValue, line) }
        precondition(proxies.client(peer: stranger, fields: fields) == stranger, "nobody else speaks for others")
        _ = proxies.client(peer: proxy, fields: fields)
        var longer: HTTPFields = fields
        longer.append(field.rawValue, appended)
        precondition(proxies.client(peer: proxy, fields: longer).host == caller.host, "a line of the proxy's own")
        fields.set(field.rawValue, "\(lines.joined(separator: ",")),\(appended)")
        precondition(proxies.client(peer: proxy, fields: fields).host == caller.host, "at the end of the caller's line")
    }
    return 0
}
