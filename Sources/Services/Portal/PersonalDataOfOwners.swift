package import Contracts
package import JSON
package import Store

/// What `portal` keeps of people: their applications, which stay when they are erased, under the id alone.
extension PortalService: PersonalData {
    /// Applications, and subscriptions, of one person that an export tells of.
    private static let personalRowsMax: Int = 100_000

    /// Nobody is known here by name.
    package func person(_ reference: String, in store: any Queryable) throws -> String? { nil }

    package func personalData(of person: String, in store: any Queryable) throws -> [(kind: String, value: JSONValue)] {
        var found: [(kind: String, value: JSONValue)] = []
        for application in try ApplicationTable.owned(
            by: person, tenants: nil, after: "", limit: Self.personalRowsMax, in: store)
        {
            found.append(("application", .object(application.object)))
        }
        for subscription in try SubscriptionTable.owned(
            by: person, tenants: nil, after: "", limit: Self.personalRowsMax, in: store)
        {
            found.append(("subscription", .object(subscription.event)))
        }
        return found
    }

    /// An application is its tenant's: others call APIs with it.
    package func erase(_ person: String, author: Author, in transaction: Transaction) throws -> Bool { false }

    package func forget(_ person: String) async {}
}
