import GatewayConfiguration

/// Everything a decision needs to know of a route, as plain values.
struct RouteRules: BitwiseCopyable {
    /// Who may call.
    enum Access: UInt8, BitwiseCopyable {
        /// No authentication policy: everybody, and nobody is identified.
        case open
        /// A key, or none; a wrong one is refused.
        case optionalKey
        /// A key.
        case requiredKey
    }

    var api: Int32
    /// The API's place, or of a route with an upstream of its own `ownUpstream` of its index.
    var upstream: Int32
    var tenant: Int32
    var identity: IdentityNumber
    var access: Access
    var refusesEncodedSlashes: Bool
    /// Lower-case name of the header field that holds the key; empty: not looked for.
    var keyHeader: TextRange
    /// Name of the query parameter that holds the key; empty: not looked for.
    var keyQuery: TextRange
    /// Denied blocks, then allowed ones.
    var blockStart: Int32
    var denyCount: Int32
    var allowCount: Int32
    /// Rules by names of applications and plans; those that ask for more are a stage's.
    var accessRun: AccessRun
    var bodyBytesMax: Int64
    /// Removed from the front of the path; empty: nothing.
    var stripPrefix: TextRange
    /// Limits by address, then all others of the API and the route.
    var limitStart: Int32
    var addressLimitCount: Int32
    var limitCount: Int32
    /// What a request takes from limits that do not say it themselves.
    var cost: UInt32
    /// Limits of the tenant over all of its APIs.
    var tenantLimits: TenantLimits
    /// Whether the route has a pipeline; otherwise the decision is all.
    var hasPipeline: Bool

    /// What stands for the own upstream of a route: below every place.
    static func ownUpstream(ofRoute index: Int) -> Int32 { -2 - Int32(index) }

    static let none: RouteRules = RouteRules(
        api: -1, upstream: -1, tenant: -1, identity: .none, access: .requiredKey, refusesEncodedSlashes: true,
        keyHeader: TextRange(), keyQuery: TextRange(), blockStart: 0, denyCount: 0, allowCount: 0,
        accessRun: AccessRun(),
        bodyBytesMax: 0,
        stripPrefix: TextRange(), limitStart: 0, addressLimitCount: 0, limitCount: 0, cost: 1,
        tenantLimits: TenantLimits(),
        hasPipeline: false)
}

/// A block of addresses with its masks ready.
struct CompiledBlock: BitwiseCopyable {
    var base: IPAddress
    var highMask: UInt64
    var lowMask: UInt64

    init(_ block: AddressBlock) {
        self.base = block.base
        (self.highMask, self.lowMask) = AddressBlock.masks(block.bits)
    }

    @inline(__always)
    func contains(_ address: IPAddress) -> Bool {
        address.high & self.highMask == self.base.high && address.low & self.lowMask == self.base.low
    }
}
