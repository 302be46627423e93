"""The pages of the book: tables read, and shown."""
