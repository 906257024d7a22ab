import HTTP

/// What a signature covers (RFC 9421 section 2.5).
enum SignatureBase {
    /// The bytes signed; nil when a component is not there, or not known here.
    static func make(
        _ signature: MessageSignature, _ request: RequestView, method: [UInt8], isSecure: Bool
    ) -> [UInt8]? {
        var base: [UInt8] = []
        for component in signature.components {
            let isMethod: Bool = component == "@method"
            guard let value: [UInt8] = isMethod ? method : self.value(component, request, isSecure: isSecure) else {
                return nil
            }
            base.append(UInt8(ascii: "\""))
            base.append(contentsOf: component.utf8)
            base.append(contentsOf: "\": ".utf8)
            base.append(contentsOf: value)
            base.append(0x0a)
        }
        base.append(contentsOf: "\"@signature-params\": ".utf8)
        base.append(contentsOf: signature.parameters)
        return base
    }

    private static func value(_ component: String, _ request: RequestView, isSecure: Bool) -> [UInt8]? {
        switch component {
        case "@scheme": return Array((isSecure ? "https" : "http").utf8)
        case "@authority": return self.authority(request, isSecure: isSecure)
        case "@path": return Array(request.path)
        case "@query": return [UInt8(ascii: "?")] + Array(request.query)
        case "@request-target": return self.target(request)
        case "@target-uri":
            return Array((isSecure ? "https://" : "http://").utf8) + self.authority(request, isSecure: isSecure)
                + self.target(request)
        default: return component.hasPrefix("@") ? nil : self.field(component, request)
        }
    }

    private static func target(_ request: RequestView) -> [UInt8] {
        var target: [UInt8] = Array(request.path)
        if request.query.count > 0 {
            target.append(UInt8(ascii: "?"))
            target.append(contentsOf: request.query)
        }
        return target
    }

    /// Lower case, without the scheme's own port (RFC 9421 section 2.2.3).
    private static func authority(_ request: RequestView, isSecure: Bool) -> [UInt8] {
        let host: [UInt8] = request.host.map { ASCIIBytes.lowered($0) }
        let usual: [UInt8] = Array((isSecure ? ":443" : ":80").utf8)
        return host.count > usual.count && host.suffix(usual.count) == usual[...]
            ? Array(host.dropLast(usual.count)) : host
    }

    /// All fields of that name as one list (RFC 9421 section 2.1); nil when there is none.
    static func field(_ name: String, _ request: RequestView) -> [UInt8]? {
        var joined: [UInt8]?
        let lower: [UInt8] = Array(name.utf8)
        lower.withUnsafeBytes { (name: UnsafeRawBufferPointer) in
            var index: Int = request.fields.index(of: name)
            while index >= 0 {
                let value: UnsafeRawBufferPointer = request.fields.value(at: index)
                if joined == nil {
                    joined = Array(value)
                } else {
                    joined?.append(contentsOf: ", ".utf8)
                    joined?.append(contentsOf: value)
                }
                index = request.fields.index(of: name, from: index + 1)
            }
        }
        return joined
    }
}
