/// The keywords of Schema Objects that are checked; others are left alone, as JSON Schema allows.
extension SchemaKeyword {
    /// The same in every version.
    static let shared: [String: SchemaKeyword] = [
        "title": .plain(.string), "description": .plain(.string), "format": .plain(.string), "pattern": .plain(.string),
        "multipleOf": .plain(.number), "maximum": .plain(.number), "minimum": .plain(.number),
        "maxLength": .plain(.count),
        "minLength": .plain(.count), "maxItems": .plain(.count), "minItems": .plain(.count),
        "uniqueItems": .plain(.boolean),
        "maxProperties": .plain(.count), "minProperties": .plain(.count), "required": .plain(.list(.string)),
        "enum": .plain(.list(.anything)), "allOf": .schemas, "properties": .schemaMap,
        "additionalProperties": .schemaOrBoolean,
        "items": .schema, "readOnly": .plain(.boolean), "xml": .plain(.object(.xml)),
        "externalDocs": .plain(.object(.externalDocs)),
    ]

    static let v2: [String: SchemaKeyword] = [
        "type": .type(["array", "boolean", "integer", "number", "object", "string", "null", "file"], orList: true),
        "exclusiveMaximum": .plain(.boolean), "exclusiveMinimum": .plain(.boolean), "discriminator": .plain(.string),
    ]

    static let v3_0: [String: SchemaKeyword] = [
        "type": .type(["array", "boolean", "integer", "number", "object", "string"], orList: false),
        "exclusiveMaximum": .plain(.boolean), "exclusiveMinimum": .plain(.boolean), "anyOf": .schemas,
        "oneOf": .schemas,
        "not": .schema, "nullable": .plain(.boolean), "writeOnly": .plain(.boolean), "deprecated": .plain(.boolean),
        "discriminator": .plain(.object(.discriminator)),
    ]

    static let v3_1: [String: SchemaKeyword] = [
        "type": .type(["array", "boolean", "integer", "null", "number", "object", "string"], orList: true),
        "exclusiveMaximum": .plain(.number), "exclusiveMinimum": .plain(.number), "anyOf": .schemas, "oneOf": .schemas,
        "not": .schema, "if": .schema, "then": .schema, "else": .schema, "prefixItems": .schemas, "contains": .schema,
        "maxContains": .plain(.count), "minContains": .plain(.count), "patternProperties": .schemaMap,
        "propertyNames": .schema,
        "dependentSchemas": .schemaMap, "unevaluatedItems": .schema, "unevaluatedProperties": .schema,
        "$defs": .schemaMap,
        "contentSchema": .schema, "contentEncoding": .plain(.string), "contentMediaType": .plain(.string),
        "additionalProperties": .schema, "writeOnly": .plain(.boolean), "deprecated": .plain(.boolean),
        "discriminator": .plain(.object(.discriminator)), "$id": .plain(.string), "$schema": .plain(.string),
        "$anchor": .plain(.string), "$dynamicAnchor": .plain(.string), "$dynamicRef": .plain(.string),
        "$comment": .plain(.string), "examples": .plain(.list(.anything)),
    ]
}
