module example.com/parcels/real/cloakroom

go 1.26

require (
	example.com/parcels v0.0.0
	github.com/gorilla/sessions v1.2.1
)

require github.com/gorilla/securecookie v1.1.1 // indirect

replace example.com/parcels => ../../
