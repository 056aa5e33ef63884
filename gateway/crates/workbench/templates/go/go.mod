module my-extension

go 1.24
