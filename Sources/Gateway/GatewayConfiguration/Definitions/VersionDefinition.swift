/// Which version of an API this is, and how a request asks for it.
///
/// Several APIs of the same hosts and paths can so stand side by side: the version becomes part of every route's conditions.
package struct VersionDefinition: Sendable, Equatable {
    /// Where a request names the version.
    package enum Place: Sendable, Equatable {
        /// The first segment of the path: `/v2/orders`. It is not forwarded.
        case path
        /// The value of a header field, name in lower case.
        case header(String)
        /// The value of a query parameter.
        case query(String)
    }

    /// The version as requests name it, such as `v2`.
    package var name: String
    package var place: Place
    /// Whether a request that names no version gets this one; with header and query only. Default false.
    package var isDefault: Bool

    package init(name: String, place: Place, isDefault: Bool = false) {
        self.name = name
        self.place = place
        self.isDefault = isDefault
    }
}

extension APIDefinition {
    /// The forms in which a request can take a route: the route itself, or with the API's version in its path or conditions.
    package func forms(of route: RouteDefinition) -> [RouteDefinition] {
        guard let version: VersionDefinition = self.version else { return [route] }
        var form: RouteDefinition = route
        var absent: RouteDefinition = route
        switch version.place {
        case .path: form.path = route.path.under(segment: version.name)
        case .header(let name):
            form.headers.append(RouteCondition(name: name, test: .exact(version.name)))
            absent.headers.append(RouteCondition(name: name, test: .absent))
        case .query(let name):
            form.query.append(RouteCondition(name: name, test: .exact(version.name)))
            absent.query.append(RouteCondition(name: name, test: .absent))
        }
        return version.isDefault ? [form, absent] : [form]
    }

    /// What is taken off the front of a path before it goes upstream.
    package func strippedPrefix(of route: RouteDefinition) -> String? {
        let upstream: UpstreamDefinition = route.upstream ?? self.upstream
        guard let version: VersionDefinition = self.version, version.place == .path else {
            return upstream.stripPrefix
        }
        let own: String = "/" + version.name
        guard let prefix: String = upstream.stripPrefix, route.path.begins(with: prefix) else { return own }
        return own + prefix
    }
}
