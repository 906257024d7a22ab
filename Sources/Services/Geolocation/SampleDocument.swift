extension GeolocationService {
    /// The sample API's OpenAPI document, the same as Examples/geolocation/openapi.yaml: a test compares them.
    package static let document: String = """
        openapi: 3.1.0
        info:
          title: Geolocation
          version: 1.0.0
          summary: Where users are, and who is near.
        servers:
          - url: /api/geolocation
        paths:
          /locate:
            post:
              operationId: locate
              summary: Notes where a user is
              requestBody:
                required: true
                content:
                  application/json:
                    schema:
                      $ref: '#/components/schemas/Sighting'
              responses:
                '201':
                  description: Noted
                  content:
                    application/json:
                      schema:
                        $ref: '#/components/schemas/Location'
                '400':
                  description: A field is missing or out of its range
          /users/{id}/location:
            get:
              operationId: getLocation
              summary: Where a user was last seen
              parameters:
                - name: id
                  in: path
                  required: true
                  schema:
                    type: string
              responses:
                '200':
                  description: The location
                  content:
                    application/json:
                      schema:
                        $ref: '#/components/schemas/Location'
                '404':
                  description: LocationNotFound
          /nearby:
            get:
              operationId: nearby
              summary: The users around a point, nearest first
              parameters:
                - name: latitude
                  in: query
                  required: true
                  schema: {type: number, minimum: -90, maximum: 90}
                - name: longitude
                  in: query
                  required: true
                  schema: {type: number, minimum: -180, maximum: 180}
                - name: radius_km
                  in: query
                  required: true
                  schema: {type: number, minimum: 0, maximum: 20016}
              responses:
                '200':
                  description: Users with their distance
                  content:
                    application/json:
                      schema:
                        type: object
                        properties:
                          users:
                            type: array
                            items:
                              type: object
                              properties:
                                user_id: {type: string}
                                latitude: {type: number}
                                longitude: {type: number}
                                distance_km: {type: number}
        components:
          schemas:
            Sighting:
              type: object
              required: [user_id, latitude, longitude, accuracy]
              additionalProperties: false
              properties:
                user_id: {type: string, minLength: 1, maxLength: 128}
                latitude: {type: number, minimum: -90, maximum: 90}
                longitude: {type: number, minimum: -180, maximum: 180}
                accuracy: {type: number, exclusiveMinimum: 0}
            Location:
              type: object
              properties:
                user_id: {type: string}
                latitude: {type: number}
                longitude: {type: number}
                accuracy: {type: number}
                timestamp: {type: string, format: date-time}

        """
}
