/// Which stored responses are to be forgotten. Always of one tenant.
package enum CachePurge: Sendable, Equatable {
    /// All of a tenant, or of one of its APIs.
    case all(tenant: String, api: String?)
    /// Those of one address: the host as requests name it, the path in normal form with its query.
    case address(tenant: String, api: String, host: String, target: String)
    /// Those that carry a tag.
    case tag(tenant: String, String)
}

extension LiveState {
    /// Forgets all stored responses; returns how many.
    package func purgeEverything() -> Int { self.cache.purge { _ in true } }

    /// Forgets stored responses at once, on any thread; returns how many. By tag and for a whole API it looks at every response:
    /// about a microsecond for ten.
    package func purge(_ purge: CachePurge) -> Int {
        switch purge {
        case .all(let tenant, let api):
            let prefix: [UInt8] = CacheKey.prefix(tenant: tenant, api: api)
            return self.cache.purge { $0.key.bytes.starts(with: prefix) }
        case .address(let tenant, let api, let host, let target):
            self.cache.refuseOlder()
            return self.cache.invalidate(
                CacheKey(tenant: tenant, api: api, host: Array(host.utf8), target: Array(target.utf8)))
        case .tag(let tenant, let tag):
            let prefix: [UInt8] = CacheKey.prefix(tenant: tenant, api: nil)
            return self.cache.purge { $0.tags.contains(tag) && $0.key.bytes.starts(with: prefix) }
        }
    }
}
