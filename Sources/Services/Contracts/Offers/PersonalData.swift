package import JSON
package import Store

/// What a service keeps about people, and how it forgets one of them. Offered by services that keep any, used by `audit`.
package protocol PersonalData: Sendable {
    /// The id of the person whom the service knows by an id or a name; nil for nobody.
    func person(_ reference: String, in store: any Queryable) throws -> String?

    /// Everything the service keeps about a person: what kind of thing it is, and the thing without its secrets.
    func personalData(of person: String, in store: any Queryable) throws -> [(kind: String, value: JSONValue)]

    /// Removes or empties all of it for good. What others rely on stays, under the id alone.
    ///
    /// - Returns: whether there was anything that was not removed before.
    /// - Throws: a problem when the person cannot go yet.
    @discardableResult
    func erase(_ person: String, author: Author, in transaction: Transaction) throws -> Bool

    /// Comes after the erasure is durable: what is remembered about the person beside the store goes, too.
    func forget(_ person: String) async
}
